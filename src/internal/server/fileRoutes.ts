import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { isJsonObject } from "../wire.js"
import { text } from "./fields.js"
import type { FileRecord, Files } from "./files.js"
import { randomId, safeEqual } from "./ids.js"
import { page } from "./listing.js"
import { contentLength, invalid, notFound, Problem, readObject, success } from "./reply.js"
import { originOf, type Settings } from "./settings.js"

const sameType = (a: string | undefined, b: string) => a?.trim().toLowerCase() === b.trim().toLowerCase()

const maxFilesPerRequest = 100

export const make = (options: { readonly files: Files; readonly settings: Settings }) => {
  const { files, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)

  /** The last URL that was given out for each file. */
  const urls = new Map<string, { readonly expires: string; readonly signature: string }>()

  const uploadUrl = (record: FileRecord) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const url = { expires: String(now + Duration.toMillis(settings.uploadExpiry)), signature: yield* randomId }
      urls.set(record.id, url)
      return `${record.origin}/uploads/${record.id}?expires=${url.expires}&signature=${url.signature}`
    })

  const record = Effect.flatMap(HttpRouter.params, ({ id = "" }) => {
    const found = files.find(id)
    return found === undefined ? Effect.fail(notFound(`file ${id}`)) : Effect.succeed(found)
  })

  const readPartial = (file: unknown, i: number) => {
    const at = `files.${i}`
    if (!isJsonObject(file))
      return Effect.fail(invalid("this is no file", [{ field: at, message: "expected an object" }]))
    const { size } = file
    if (size != null && !(typeof size === "number" && Number.isInteger(size) && size >= 0)) {
      return Effect.fail(invalid("this is no size", [{ field: `${at}.size`, message: "expected a number of bytes" }]))
    }
    if (typeof size === "number" && size > settings.maxFileSize) return Effect.fail(fileTooLarge(settings.maxFileSize))
    return Effect.succeed({
      filename: text(file.filename),
      contentType: text(file.content_type),
      size: typeof size === "number" ? size : undefined,
      folder: text(file.path)
    })
  }

  const create = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* readObject(request, settings.maxBodySize)
    if (!Array.isArray(body.files) || body.files.length === 0 || body.files.length > maxFilesPerRequest) {
      const message = `expected 1 to ${maxFilesPerRequest} files`
      return yield* invalid("the request describes no files", [{ field: "files", message }])
    }
    const described = yield* Effect.forEach(body.files, readPartial)
    const origin = originOf(settings, request)
    const created = yield* Effect.forEach(described, (file) =>
      Effect.flatMap(files.create({ ...file, category: text(body.category), origin }), (record) =>
        Effect.map(uploadUrl(record), (url) => files.wire(record, url))
      )
    )
    return ok(created)
  })

  const upload = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const query = new URL(request.url, "http://localhost").searchParams
    const { id = "" } = yield* HttpRouter.params
    const found = files.find(id)
    const url = urls.get(id)
    const now = yield* Clock.currentTimeMillis
    if (
      found === undefined ||
      url === undefined ||
      query.get("expires") !== url.expires ||
      !safeEqual(query.get("signature") ?? "", url.signature) ||
      Number(url.expires) <= now
    ) {
      return yield* forbidden("the signature of the upload URL is wrong or has expired")
    }
    if (!sameType(request.headers["content-type"], found.contentType)) {
      return yield* forbidden(`the upload URL is for Content-Type ${found.contentType}`)
    }
    const length = contentLength(request)
    if (length === undefined) {
      return yield* new Problem({ status: 411, code: "length_required", detail: "an upload needs a Content-Length" })
    }
    if (length > settings.maxFileSize) return yield* fileTooLarge(settings.maxFileSize)
    if (found.size !== undefined && found.size !== length) {
      return yield* invalid(`the file was announced with ${found.size} bytes, not ${length}`)
    }
    yield* files.write(found, length === 0 ? Stream.empty : request.stream, length).pipe(
      Effect.catchTags({
        RequestError: () => invalid("the upload broke off"),
        FileError: (error) => (error.reason === "SizeMismatch" ? invalid(error.message) : Effect.die(error))
      })
    )
    return HttpServerResponse.empty({ status: 200 })
  })

  const download = Effect.gen(function* () {
    const found = yield* record
    if (!found.stored) return yield* notFound(`file ${found.id}`)
    return HttpServerResponse.stream(files.read(found), {
      contentType: found.contentType,
      headers: {
        "content-type": found.contentType,
        "content-length": String(found.size ?? 0),
        // A page that someone uploaded must not run as one of this server's.
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff"
      }
    })
  })

  const list = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* readObject(request, settings.maxBodySize)
    return ok(yield* page(files.all(), body, { wire: (record) => files.wire(record, ""), texts: ["filename"] }))
  })

  return HttpRouter.empty.pipe(
    HttpRouter.post("/files", create),
    HttpRouter.post("/files/list", list),
    HttpRouter.get(
      "/files/:id",
      Effect.map(record, (found) => ok(files.wire(found, "")))
    ),
    HttpRouter.del(
      "/files/:id",
      Effect.flatMap(record, ({ id }) => {
        urls.delete(id)
        return Effect.as(files.remove(id), HttpServerResponse.empty({ status: 204 }))
      })
    ),
    HttpRouter.put("/uploads/:id", upload),
    HttpRouter.get("/app/files/:id/:name", download)
  )
}

const forbidden = (detail: string) => new Problem({ status: 403, code: "forbidden", detail })

const fileTooLarge = (limit: number) =>
  new Problem({ status: 413, code: "content_too_large", detail: `files may have up to ${limit} bytes` })
