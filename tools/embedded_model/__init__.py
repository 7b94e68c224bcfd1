"""The toolchain of the embedded model: text files -> tokens -> weights -> verdict. See README.md for the recipe."""
