"""GLSL for the moderngl renderer. Colours are lit as linear light; alpha is premultiplied."""

from __future__ import annotations

_VERSION = "#version 330 core\n"

SOLID_VERTEX = (
    _VERSION
    + """
uniform mat4 view;
uniform vec3 paper;
uniform float fade;
in vec3 in_place, in_normal, in_colour;
out vec3 place, normal, albedo;
void main() {
    place = in_place;
    normal = in_normal;
    vec3 colour = mix(in_colour, paper, fade);
    albedo = colour * colour;
    gl_Position = view * vec4(place, 1.0);
}
"""
)

# The key light casts shadows; a fill from the other side, a sky above a bright floor and a rim
# against the background keep the dark side readable.
SOLID_FRAGMENT = (
    _VERSION
    + """
uniform vec3 eye, key, fill;
uniform float ground, texel;
uniform mat4 light_view;
uniform sampler2DShadow light_depth;
in vec3 place, normal, albedo;
out vec4 pixel;

float lit(vec3 n) {
    vec3 seen = (light_view * vec4(place + 0.012 * n, 1.0)).xyz * 0.5 + 0.5;
    seen.z -= 0.002;
    return 0.25 * (texture(light_depth, seen + texel * vec3(0.9, 0.4, 0.0))
        + texture(light_depth, seen + texel * vec3(-0.4, 0.9, 0.0))
        + texture(light_depth, seen + texel * vec3(-0.9, -0.4, 0.0))
        + texture(light_depth, seen + texel * vec3(0.4, -0.9, 0.0)));
}

void main() {
    vec3 n = normalize(normal);
    vec3 v = normalize(eye - place);
    float towards = dot(n, key);
    float lambert = max((towards + 0.1) / 1.1, 0.0);
    lambert *= lit(n);
    float above = place.y - ground;
    vec3 sky = mix(vec3(0.30, 0.29, 0.28), vec3(0.62, 0.64, 0.68), 0.5 + 0.5 * n.y);
    sky *= 0.75 + 0.25 * smoothstep(0.0, 0.5, above);
    float back = 1.0 - max(dot(n, v), 0.0);
    float rim = back * back * back * back;
    vec3 light = 0.72 * lambert * vec3(1.0, 0.975, 0.94)
        + 0.2 * max(dot(n, fill), 0.0) * vec3(0.9, 0.95, 1.0)
        + 0.72 * sky;
    float gleam = max(dot(n, normalize(key + v)), 0.0);
    gleam *= gleam * gleam;
    gleam *= gleam;
    gleam *= gleam * gleam;
    vec3 shade = albedo * light + vec3(0.05) * rim + vec3(0.035) * gleam * lambert;
    pixel = vec4(sqrt(shade), 1.0);
}
"""
)

# What the light sees: depth for shadows on the bodies and, as every body stands above the floor,
# plain cover with its height for the shadow on the floor, which mipmaps then soften.
LIGHT_FRAGMENT = (
    _VERSION
    + """
uniform float ground, reach;
in vec3 place;
out vec4 pixel;
void main() { pixel = vec4(1.0, clamp((place.y - ground) / reach, 0.0, 1.0), 0.0, 1.0); }
"""
)

BELOW_FRAGMENT = (
    _VERSION
    + """
uniform float ground, reach;
in vec3 place;
out vec4 pixel;
void main() {
    float near = clamp(1.0 - (place.y - ground) / reach, 0.0, 1.0);
    pixel = vec4(near * near, 0.0, 0.0, 1.0);
}
"""
)

FLOOR_VERTEX = (
    _VERSION
    + """
uniform mat4 view;
in vec3 in_place;
out vec3 place;
void main() {
    place = in_place;
    gl_Position = view * vec4(place, 1.0);
}
"""
)

FLOOR_FRAGMENT = (
    _VERSION
    + """
uniform vec3 eye, paper;
uniform vec2 tones;
uniform float tile, fade, distance_to;
in vec3 place;
out vec4 pixel;

float checks() {
    vec2 spot = place.xz / tile;
    vec2 sharp = 1.0 / max(abs(dFdx(spot)) + abs(dFdy(spot)), vec2(1e-6));
    vec2 wave = clamp(2.0 * (0.5 - abs(mod(spot, 2.0) - 1.0)) * sharp, -1.0, 1.0);
    return wave.x * wave.y * clamp(min(sharp.x, sharp.y) - 1.0, 0.0, 1.0);
}

void main() {
    float beyond = max((length(place.xz - eye.xz) - distance_to) / fade + 0.25, 0.0);
    float tone = mix(tones.x, tones.y, 0.5 + 0.5 * checks());
    pixel = vec4(paper * (1.0 - exp(-beyond * beyond) * tone), 1.0);
}
"""
)

# Sharp where a foot stands, soft below a raised hand.
SHADOW_FRAGMENT = (
    _VERSION
    + """
uniform float strength, texels_per_metre, reach;
uniform mat4 light_view;
uniform sampler2D cover;
in vec3 place;
out vec4 pixel;

vec2 blurred(vec2 spot, float metres) {
    float level = log2(metres * texels_per_metre);
    vec2 step = 0.7 * exp2(level) / vec2(textureSize(cover, 0));
    vec2 sum = 2.0 * textureLod(cover, spot, level).rg;
    sum += textureLod(cover, spot + step * vec2(1.0, 0.4), level).rg;
    sum += textureLod(cover, spot + step * vec2(-0.4, 1.0), level).rg;
    sum += textureLod(cover, spot + step * vec2(-1.0, -0.4), level).rg;
    sum += textureLod(cover, spot + step * vec2(0.4, -1.0), level).rg;
    return sum / 6.0;
}

void main() {
    vec2 spot = (light_view * vec4(place, 1.0)).xy * 0.5 + 0.5;
    vec2 around = blurred(spot, 0.08);
    float height = reach * around.g / max(around.r, 0.002);
    pixel = vec4(0.0, 0.0, 0.0, strength * blurred(spot, 0.009 + 0.022 * height).r);
}
"""
)

CONTACT_FRAGMENT = (
    _VERSION
    + """
uniform float strength, texels_per_metre;
uniform mat4 light_view;
uniform sampler2D cover;
in vec3 place;
out vec4 pixel;

void main() {
    vec2 spot = (light_view * vec4(place, 1.0)).xy * 0.5 + 0.5;
    float sum = 0.0;
    for (float metres = 0.04; metres < 0.2; metres *= 3.0) {
        float level = log2(metres * texels_per_metre);
        vec2 step = vec2(0.6 * exp2(level) / float(textureSize(cover, 0).x), 0.0);
        sum += textureLod(cover, spot + step, level).r
            + textureLod(cover, spot - step, level).r
            + textureLod(cover, spot + step.yx, level).r
            + textureLod(cover, spot - step.yx, level).r;
    }
    pixel = vec4(0.0, 0.0, 0.0, strength * sum / 8.0);
}
"""
)

TRAIL_VERTEX = (
    _VERSION
    + """
uniform mat4 view;
in vec3 in_place;
in float in_strength;
out float strength;
void main() {
    strength = in_strength;
    gl_Position = view * vec4(in_place, 1.0);
}
"""
)

TRAIL_FRAGMENT = (
    _VERSION
    + """
in float strength;
out vec4 pixel;
void main() { pixel = vec4(0.0, 0.0, 0.0, strength); }
"""
)
