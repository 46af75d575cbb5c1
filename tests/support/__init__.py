"""What tests share: real stores, a whole stack, and the plugin that starts them."""
