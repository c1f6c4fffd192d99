import * as mimeTypes from "mime-types"

/** The media type that a file name's extension stands for. A name without a dot has none. */
export const contentTypeOf = (filename: string): string | undefined =>
  (filename.includes(".") && mimeTypes.lookup(filename)) || undefined

/** The usual extension, without its dot, for a media type. */
export const extensionOf = (contentType: string): string | undefined => mimeTypes.extension(contentType) || undefined
