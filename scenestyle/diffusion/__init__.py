"""All views of a scene restyled together by a diffusion model. The only room that drives diffusers.

`inputs` reads rendered views, `models` loads a pipeline, `attention` shares it between views,
`stylize` runs it, `preview` tries several styles on a few views.
"""
