"""Who is measured, a file each; `registry` lists them."""
