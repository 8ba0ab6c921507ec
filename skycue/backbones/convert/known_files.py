"""Published files whose architecture is known from their content, by SHA-256.

OpenAI publishes each file under a URL that holds the digest:
`https://openaipublic.azureedge.net/clip/models/<sha256>/ViT-B-32.pt` (`_MODELS` in
https://github.com/openai/CLIP/blob/main/clip/clip.py).
"""

KNOWN_FILES: dict[str, str] = {
    # OpenAI's ViT-B-32.pt, ViT-B-16.pt, ViT-L-14.pt and ViT-L-14-336px.pt
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af": "ViT-B-32-quickgelu",
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f": "ViT-B-16-quickgelu",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836": "ViT-L-14-quickgelu",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02": "ViT-L-14-336-quickgelu",
}
"""SHA-256 of a file to the name of its architecture."""
