# Reads a name, greets it, and tells where it comes from.
read -r name
echo "Hello $name from $REMOTE_ADDR!"
