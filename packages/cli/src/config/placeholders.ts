/** Fills `{name}` in every text of a value. An unknown name is left as it is: `{` is ordinary in commands and JSON. */
export type Lookup = (name: string) => string | undefined;

export function fillPlaceholders<T>(value: T, lookup: Lookup): T {
  if (typeof value === 'string') {
    return value.replace(/\{([a-zA-Z]+(?::[a-zA-Z0-9-]+)?)\}/g, (whole, name: string) => lookup(name) ?? whole) as T;
  }
  if (Array.isArray(value)) return value.map((item) => fillPlaceholders(item, lookup)) as T;
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillPlaceholders(item, lookup)])) as T;
  }
  return value;
}
