/**
 * What a run of an app consumed and produced, for its price: the field `output_meta` of the app's output.
 *
 * @module
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { JsonObject, field as namedField, openEnum } from "./internal/wire.js"

/** Anything that is said of an item may be left out. `null` is the same as absent, as everywhere on the wire. */
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

const extra = optional(JsonObject)
const width = optional(Schema.Int)
const height = optional(Schema.Int)
const resolutionMp = namedField("resolution_mp", Schema.Number)
const seconds = optional(Schema.Number)

const TextItem = Schema.Struct({ type: Schema.tag("text"), tokens: optional(Schema.Int), extra })

const ImageItem = Schema.Struct({
  type: Schema.tag("image"),
  width,
  height,
  resolutionMp,
  steps: optional(Schema.Int),
  count: optional(Schema.Int),
  extra
})

const VideoItem = Schema.Struct({
  type: Schema.tag("video"),
  width,
  height,
  resolutionMp,
  resolution: optional(openEnum("480p", "720p", "1080p", "1440p", "4k")),
  seconds,
  fps: optional(Schema.Int),
  extra
})

const AudioItem = Schema.Struct({
  type: Schema.tag("audio"),
  seconds,
  sampleRate: namedField("sample_rate", Schema.Int),
  extra
})

const RawItem = Schema.Struct({ type: Schema.tag("raw"), cost: optional(Schema.Number), extra })

/** What this version does not know is kept as it came. */
const UnknownItem = Schema.transform(JsonObject, Schema.Struct({ type: Schema.tag("unknown"), item: JsonObject }), {
  strict: true,
  decode: (item) => ({ type: "unknown" as const, item }),
  encode: ({ item }) => item
})

/**
 * Text of so many tokens: read, among the inputs, or written, among the outputs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Text extends Schema.Schema.Type<typeof TextItem> {}

/**
 * Images of one kind, `count` of them. Width and height are in pixels, `resolutionMp` is in megapixels.
 *
 * @since 0.1.0
 * @category models
 */
export interface Image extends Schema.Schema.Type<typeof ImageItem> {}

/**
 * A video. Width and height are in pixels, `resolutionMp` is in megapixels per frame, `resolution` is the usual name of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Video extends Schema.Schema.Type<typeof VideoItem> {}

/**
 * Sound: its duration in seconds, its sample rate in Hz.
 *
 * @since 0.1.0
 * @category models
 */
export interface Audio extends Schema.Schema.Type<typeof AudioItem> {}

/**
 * Something that has a price of its own, in cents of a US dollar.
 *
 * @since 0.1.0
 * @category models
 */
export interface Raw extends Schema.Schema.Type<typeof RawItem> {}

/**
 * Something of a kind that this version does not know, as it came.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unknown extends Schema.Schema.Type<typeof UnknownItem> {}

/**
 * One thing that was consumed or produced. `type` tells which.
 *
 * @since 0.1.0
 * @category models
 */
export type Item = Text | Image | Video | Audio | Raw | Unknown

/**
 * The schema of an {@link Item}. All but its type may be absent. An item of another type, or one that does not fit its type,
 * is `unknown`, and encodes to what it came as.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Item: Schema.Schema<Item, { readonly [key: string]: unknown }> = Schema.Union(
  TextItem,
  ImageItem,
  VideoItem,
  AudioItem,
  RawItem,
  UnknownItem
)

const items = Schema.optionalWith(Schema.Array(Item), { nullable: true, default: () => [] })

// What published apps say of it. They are written in Python, where what is not known is 0.
const number = (type: "integer" | "number", description: string, value = 0) => ({ type, default: value, description })

const widthJson = number("integer", "Width in pixels")
const heightJson = number("integer", "Height in pixels")
const resolutionMpJson = number("number", "Resolution in megapixels: width * height / 1 000 000")
const secondsJson = number("number", "Duration in seconds")

const itemJson = (type: string, fields: { readonly [name: string]: object }) => ({
  type: "object",
  properties: {
    type: { type: "string", default: type },
    extra: {
      anyOf: [{ type: "object" }, { type: "null" }],
      description: "App-specific key-value pairs for custom pricing factors"
    },
    ...fields
  }
})

const itemsJson = (description: string) => ({
  type: "array",
  items: {
    anyOf: [
      itemJson("text", { tokens: number("integer", "Token count") }),
      itemJson("image", {
        width: widthJson,
        height: heightJson,
        resolution_mp: resolutionMpJson,
        steps: number("integer", "Number of diffusion steps"),
        count: number("integer", "Number of images", 1)
      }),
      itemJson("video", {
        width: widthJson,
        height: heightJson,
        resolution_mp: resolutionMpJson,
        resolution: {
          anyOf: [{ type: "string" }, { type: "null" }],
          description: "Standard resolution: 480p, 720p, 1080p, 1440p, 4k"
        },
        seconds: secondsJson,
        fps: number("integer", "Frames per second")
      }),
      itemJson("audio", { seconds: secondsJson, sample_rate: number("integer", "Sample rate in Hz") }),
      itemJson("raw", { cost: number("number", "Cost in dollar cents") })
    ]
  },
  description
})

/**
 * The schema of {@link OutputMeta}. A list that is absent is empty.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OutputMeta = Schema.Struct({
  inputs: items,
  outputs: items
}).annotations({
  jsonSchema: {
    type: "object",
    properties: { inputs: itemsJson("What was consumed"), outputs: itemsJson("What was produced") }
  }
})

/**
 * What a run consumed and what it produced.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputMeta extends Schema.Schema.Type<typeof OutputMeta> {}

/**
 * The field of an app's output: `output_meta` on the wire. It may be absent, since not every caller is told.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, BaseApp, OutputMeta } from "effect-inferencesh"
 *
 * const Shout = App.make("acme/shout", {
 *   input: { text: Schema.String },
 *   output: { text: Schema.String, outputMeta: OutputMeta.field }
 * })
 *
 * const shout = BaseApp.make(Shout, {
 *   run: ({ text }) =>
 *     Effect.succeed({
 *       text: text.toUpperCase(),
 *       outputMeta: OutputMeta.make({
 *         inputs: [OutputMeta.text({ tokens: 12 })],
 *         outputs: [OutputMeta.text({ tokens: 12, extra: { loud: true } })]
 *       })
 *     })
 * })
 * ```
 * @since 0.1.0
 * @category schemas
 */
export const field = namedField("output_meta", OutputMeta)

/**
 * What was consumed and produced, of which either may be left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (meta: { readonly inputs?: ReadonlyArray<Item>; readonly outputs?: ReadonlyArray<Item> }) =>
  OutputMeta.make(meta)

/**
 * So many tokens of text.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (item: Omit<Text, "type"> = {}): Text => TextItem.make(item)

/**
 * An image, or `count` of them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const image = (item: Omit<Image, "type"> = {}): Image => ImageItem.make(item)

/**
 * A video of so many seconds.
 *
 * @since 0.1.0
 * @category constructors
 */
export const video = (item: Omit<Video, "type"> = {}): Video => VideoItem.make(item)

/**
 * So many seconds of sound.
 *
 * @since 0.1.0
 * @category constructors
 */
export const audio = (item: Omit<Audio, "type"> = {}): Audio => AudioItem.make(item)

/**
 * A price of its own: `cost` is in cents of a US dollar.
 *
 * @since 0.1.0
 * @category constructors
 */
export const raw = (item: Omit<Raw, "type"> = {}): Raw => RawItem.make(item)
