/** How deep JSON may nest here: far deeper, and whoever writes it or looks through it overflows the stack. */
export const maxDepth = 500

/** Whether a value nests deeper than that. Looks no deeper itself. */
export const isTooDeep = (value: unknown, levels = maxDepth): boolean =>
  typeof value === "object" &&
  value !== null &&
  (levels === 0 || Object.values(value).some((item) => isTooDeep(item, levels - 1)))
