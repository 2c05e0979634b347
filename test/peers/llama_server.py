"""Runs llama.cpp's own HTTP server, as PyPI's xllamacpp packs it.

llama_server.py MODEL ALIAS serves the GGUF file under that name on a free port of
loopback, prints its address, and ends with standard input.
"""

import sys

import xllamacpp

# The model's own template tells it of no tools; this one does.
TEMPLATE = """<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face
{%- for tool in tools or [] %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

p = xllamacpp.CommonParams()
p.chat_template = TEMPLATE
p.model.path, p.model_alias = sys.argv[1], [sys.argv[2]]
p.hostnames, p.port = ["127.0.0.1"], 0
p.n_ctx, p.n_parallel = 2048, 2
p.cpuparams.n_threads = 1  # its threads wait for each other by spinning
p.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
sys.stdin.read()
