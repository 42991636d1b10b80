"""aggregate: proxies r -> model r+1."""
