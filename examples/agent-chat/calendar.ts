/** A service of the program itself, which the agent reaches through tools only. */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"

export interface Appointment {
  readonly day: string
  readonly from: string
  readonly to: string
  readonly title: string
}

export class Taken extends Data.TaggedError("Taken")<{ readonly message: string }> {}

export class Calendar extends Context.Tag("example/Calendar")<
  Calendar,
  {
    readonly on: (day: string) => Effect.Effect<ReadonlyArray<Appointment>>
    readonly add: (appointment: Appointment) => Effect.Effect<void, Taken>
  }
>() {}

const isSameDay = (a: string, b: string) => a.toLowerCase() === b.toLowerCase()

/** A calendar in memory, with a busy Friday. Times are written so that they compare as texts do. */
export const layer = Layer.effect(
  Calendar,
  Effect.map(
    Ref.make<ReadonlyArray<Appointment>>([
      { day: "Friday", from: "09:00", to: "12:00", title: "Planning" },
      { day: "Friday", from: "14:30", to: "15:30", title: "Dentist" }
    ]),
    (appointments) => ({
      on: (day) => Effect.map(Ref.get(appointments), (all) => all.filter((each) => isSameDay(each.day, day))),
      add: (wanted) =>
        Effect.flatMap(Ref.get(appointments), (all) => {
          const other = all.find(
            ({ day, from, to }) => isSameDay(day, wanted.day) && from < wanted.to && wanted.from < to
          )
          return other === undefined
            ? Ref.update(appointments, (all) => [...all, wanted])
            : new Taken({ message: `${other.title} is from ${other.from} to ${other.to}` })
        })
    })
  )
)
