"""Colours and type of the page, those of the 3-D player; no font is fetched."""

import gradio as gr

_SANS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
)
_MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=_SANS,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        body_background_fill="#f6f8fa",
        body_background_fill_dark="#10151d",
        body_text_color_subdued="#526071",
        body_text_color_subdued_dark="#a9b6c6",
        block_background_fill="#ffffff",
        block_background_fill_dark="#18202b",
        block_border_color="#dde3ea",
        block_border_color_dark="#2a3544",
        block_label_text_color="#475569",
        block_label_text_color_dark="#b6c2d1",
        block_info_text_color="#5b6779",
        block_info_text_color_dark="#a3b1c2",
        button_primary_background_fill="#2563c9",
        button_primary_background_fill_hover="#1d4fa3",
        button_primary_background_fill_dark="#2563c9",
        button_primary_background_fill_hover_dark="#3b7be0",
        button_primary_text_color="#ffffff",
        slider_color="#2563c9",
        slider_color_dark="#5b95ec",
    )
