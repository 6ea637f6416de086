"""The way of a render: a request prepared, its frames rendered, its output encoded and measured."""
