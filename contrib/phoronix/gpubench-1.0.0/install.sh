#!/bin/sh
# The Phoronix Test Suite runs this in the folder of the installed test. The program itself has to be there already:
# gpubench is installed from its checkout. What is made here runs one benchmark, and prints its figure in one line.
if ! command -v gpubench >/dev/null; then
    echo "gpubench is not on PATH; install it from its checkout: pipx install '.[opencl]'" >&2
    echo 2 >"$HOME/install-exit-status"
    exit 2
fi
GPUBENCH=$(command -v gpubench)
cat >gpubench <<EOF
#!/bin/sh
# Its arguments are the benchmark's name, and options of \`gpubench run\`.
if ! "$GPUBENCH" run "\$@" --quiet --json >"\$HOME/gpubench-run.json" 2>"\$HOME/gpubench.log"; then
    cat "\$HOME/gpubench.log" >&2
    exit 1
fi
sed -n 's/.*"bandwidth_bytes_per_second":{"median":\([0-9.e+]*\).*/\1/p' "\$HOME/gpubench-run.json" |
    awk '{ printf "Bandwidth: %.2f GB/s\n", \$1 / 1e9 }' >>"\${LOG_FILE:-/dev/stdout}"
EOF
chmod +x gpubench
echo 0 >"$HOME/install-exit-status"
