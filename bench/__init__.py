"""Speed and memory of Skycue, one script a question; `python -m bench` asks them all."""
