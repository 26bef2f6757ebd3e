"""Mean prediction over views of one image, without any adaptation."""
