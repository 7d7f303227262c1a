"""What is done on the device, inside the train step: operations on images, views, masks."""
