import * as mimeTypes from "mime-types"

/** The media type that a file name's extension stands for. */
export const contentTypeOf = (filename: string): string | undefined => mimeTypes.lookup(filename) || undefined

/** The usual extension, without its dot, for a media type. */
export const extensionOf = (contentType: string): string | undefined => mimeTypes.extension(contentType) || undefined
