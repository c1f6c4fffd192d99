/** What the model says where there is no account: it plays this script. */
import { Llm } from "effect-inferencesh"

export const questions = ["When could I have lunch with Ada on Friday?", "Half past twelve is fine. Book it, please."]

export const model = Llm.scripted(
  "demo/assistant",
  [
    {
      reasoning: "I need to know what is on that day.",
      response: "Let me look at your Friday.",
      toolCalls: [{ name: "list_appointments", arguments: { day: "Friday" } }]
    },
    { response: "You are in Planning until 12:00 and at the dentist at 14:30. Shall we say half past twelve?" },
    {
      toolCalls: [
        { name: "add_appointment", arguments: { day: "Friday", from: "12:30", to: "14:00", title: "Lunch with Ada" } }
      ]
    },
    { response: "Done: lunch with Ada, on Friday from 12:30 to 14:00. Enjoy!" }
  ],
  { pace: "30 millis" }
)
