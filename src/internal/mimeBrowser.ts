// Stands in for ./mime.js in browsers (the "browser" field of package.json), where mime-types does not load: it needs
// node's path module. The table holds what browsers show and play.
const types: Record<string, string> = {
  aac: "audio/aac",
  avif: "image/avif",
  bmp: "image/bmp",
  css: "text/css",
  csv: "text/csv",
  flac: "audio/x-flac",
  gif: "image/gif",
  gz: "application/gzip",
  heic: "image/heic",
  heif: "image/heif",
  html: "text/html",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  m4a: "audio/mp4",
  md: "text/markdown",
  mkv: "video/x-matroska",
  mov: "video/quicktime",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  ogg: "audio/ogg",
  pdf: "application/pdf",
  png: "image/png",
  svg: "image/svg+xml",
  tif: "image/tiff",
  tiff: "image/tiff",
  txt: "text/plain",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  zip: "application/zip"
}

export const contentTypeOf = (filename: string): string | undefined =>
  filename.includes(".") ? types[filename.slice(filename.lastIndexOf(".") + 1).toLowerCase()] : undefined

export const extensionOf = (contentType: string): string | undefined => {
  const [type] = contentType.split(";")
  return Object.keys(types).find((extension) => types[extension] === type?.trim().toLowerCase())
}
