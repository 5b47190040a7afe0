"""Settings that several plug-ins share, in files without torch: planning reads them."""
