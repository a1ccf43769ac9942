"""The process that owns one device, and the handle that its owner holds."""
