set -e
python3 -m venv .venv
time .venv/bin/pip install -q -e ".[server,opencl,report,browser]" pytest jsonschema
which npm node chromium || true
time .venv/bin/python tools/chromium.py
ldd .venv/chromium/*/headless_shell | grep "not found" || true
sed -i "s/filterwarnings = .*//" pyproject.toml
time .venv/bin/python -m pytest tests/browser -q --durations=10 -p no:cacheprovider
