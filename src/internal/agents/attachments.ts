/** Files that go with a message: protocol.md §7.6. */
import * as Effect from "effect/Effect"
import * as File from "../../File.js"
import type * as Files from "../../Files.js"
import { uploadConcurrency } from "../payload.js"
import type { Json } from "../wire.js"

const toRef = ({ id, uri, filename, contentType, size }: File.File): Json => ({
  id,
  uri,
  filename: filename ?? "file",
  content_type: contentType ?? "application/octet-stream",
  size
})

/** Each distinct file once, at its URL: uploaded unless it is at one. */
export const upload = (
  files: Files.Service,
  attachments: ReadonlyArray<File.File | Uint8Array | Blob>
): Effect.Effect<ReadonlyArray<Json>, Files.UploadError> =>
  Effect.forEach(
    new Set(attachments),
    (attachment) =>
      Effect.map(
        File.isFile(attachment) && File.isRemote(attachment) ? Effect.succeed(attachment) : files.upload(attachment),
        toRef
      ),
    { concurrency: uploadConcurrency }
  )
