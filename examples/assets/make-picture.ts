/** Draws `landscape.jpg`, the picture that the quickstart uses when it is given none: npx tsx examples/assets/make-picture.ts */
import { fileURLToPath } from "node:url"
import sharp from "sharp"

const width = 1600
const height = 1067
const shore = 760

/** The same picture each time: random numbers from a seed (mulberry32). */
const random = ((state: number) => () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
})(20_251_122)

/** A mountain ridge by midpoint displacement: heights around `base`, rougher with `roughness`. */
const ridge = (base: number, amplitude: number, roughness: number): ReadonlyArray<number> => {
  const heights = [base, base]
  for (let spread = amplitude; heights.length < 800; spread *= roughness) {
    for (let i = heights.length - 1; i > 0; i--) {
      const middle = ((heights[i - 1] ?? base) + (heights[i] ?? base)) / 2
      heights.splice(i, 0, middle + (random() - 0.5) * spread)
    }
  }
  return heights
}

const outline = (heights: ReadonlyArray<number>): string => {
  const points = heights.map((y, i) => `L${((i / (heights.length - 1)) * width).toFixed(1)} ${y.toFixed(1)}`)
  return `M0 ${height} ${points.join(" ")} L${width} ${height} Z`
}

/** The nearer, the darker: far ridges fade into the haze of the evening. */
const ridges = [
  { heights: ridge(555, 300, 0.55), top: "#c98f8a", foot: "#e9b791" },
  { heights: ridge(625, 230, 0.57), top: "#94667a", foot: "#c08683" },
  { heights: ridge(680, 150, 0.6), top: "#5c4463", foot: "#86606f" },
  { heights: ridge(728, 90, 0.56), top: "#2e2a45", foot: "#463a55" }
]

const trees = Array.from({ length: 150 }, () => {
  const x = random() ** 1.7 * 760 * (random() < 0.7 ? 1 : 2)
  const size = 26 + random() * 62 * (1 - x / 1900)
  const foot = shore + 6 + random() * 14
  const tiers = [0, 0.24, 0.48].map((tier) => {
    const half = size * (0.1 + tier * 0.2)
    const y = foot - size * (1 - tier)
    return `M${x} ${y} L${x + half} ${y + size * 0.42} L${x - half} ${y + size * 0.42} Z`
  })
  return tiers.join(" ")
}).join(" ")

const clouds = Array.from({ length: 26 }, () => {
  const y = 110 + random() * 330
  const long = 90 + random() * 260
  return `<ellipse cx="${random() * width}" cy="${y}" rx="${long}" ry="${5 + random() * 11}" fill="#ffdcae" opacity="${0.1 + random() * 0.22}"/>`
}).join("")

const land = `
  <defs>
    <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#27406f"/><stop offset="0.3" stop-color="#6d6a94"/>
      <stop offset="0.52" stop-color="#e29a7c"/><stop offset="0.7" stop-color="#fbd08b"/>
    </linearGradient>
    <radialGradient id="glow"><stop offset="0" stop-color="#fff3c9"/><stop offset="0.12" stop-color="#ffe2a1" stop-opacity="0.85"/>
      <stop offset="1" stop-color="#ffb36b" stop-opacity="0"/></radialGradient>
    ${ridges.map(({ top, foot }, i) => `<linearGradient id="ridge${i}" gradientUnits="userSpaceOnUse" x1="0" y1="${430 + i * 70}" x2="0" y2="${shore}"><stop offset="0" stop-color="${top}"/><stop offset="1" stop-color="${foot}"/></linearGradient>`).join("")}
    <filter id="soft"><feGaussianBlur stdDeviation="9 3"/></filter>
  </defs>
  <rect width="${width}" height="${height}" fill="url(#sky)"/>
  <circle cx="1060" cy="470" r="640" fill="url(#glow)"/>
  <circle cx="1060" cy="470" r="46" fill="#fffbe6"/>
  <g filter="url(#soft)">${clouds}</g>
  ${ridges.map(({ heights }, i) => `<path d="${outline(heights)}" fill="url(#ridge${i})"/>`).join("")}
  <path d="${trees}" fill="#1a1b2b"/>
  <rect y="${shore + 4}" width="${width}" height="26" fill="#1a1b2b"/>`

const svg = (content: string) =>
  Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${content}</svg>`)

/** Random grey pixels, blown up and blurred by `scale`, centred on the grey that "overlay" leaves alone. */
const noise = (scaleX: number, scaleY: number, strength: number) => {
  const [w, h] = [Math.ceil(width / scaleX), Math.ceil(height / scaleY)]
  const pixels = Uint8Array.from({ length: w * h }, () => 128 + (random() + random() - 1) * strength)
  return sharp(pixels, { raw: { width: w, height: h, channels: 1 } })
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .toColourspace("srgb")
    .png()
    .toBuffer()
}

const above = await sharp(svg(land))
  .composite([{ input: await noise(9, 7, 9), blend: "overlay" }])
  .png()
  .toBuffer()

// The lake is the land upside down, squeezed, darkened and stirred by long, flat ripples.
const lake = height - shore - 30
const reflection = await sharp(above)
  .extract({ left: 0, top: shore + 30 - Math.round(lake * 1.7), width, height: Math.round(lake * 1.7) })
  .flip()
  .resize(width, lake, { fit: "fill" })
  .blur(3)
  .modulate({ brightness: 0.74, saturation: 0.9 })
  .png()
  .toBuffer()
const ripples = await sharp(await noise(70, 3, 120))
  .extract({ left: 0, top: 0, width, height: lake })
  .png()
  .toBuffer()
const water = await sharp(reflection)
  .composite([{ input: ripples, blend: "soft-light" }])
  .png()
  .toBuffer()

const vignette = svg(`
  <defs><radialGradient id="v" cx="0.55" cy="0.45" r="0.8"><stop offset="0.55" stop-opacity="0"/><stop offset="1" stop-opacity="0.5"/></radialGradient></defs>
  <rect width="${width}" height="${height}" fill="url(#v)"/>`)

const { size } = await sharp(above)
  .composite([
    { input: water, left: 0, top: shore + 30 },
    { input: vignette },
    { input: await noise(1.5, 1.5, 20), blend: "overlay" }
  ])
  .jpeg({ quality: 80, mozjpeg: true })
  .toFile(fileURLToPath(new URL("landscape.jpg", import.meta.url)))

console.log(`examples/assets/landscape.jpg: ${width}×${height}, ${Math.round(size / 1000)} kB`)
