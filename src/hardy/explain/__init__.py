"""Everything a person looks at: Grad-CAM, panels, confusion pictures."""
