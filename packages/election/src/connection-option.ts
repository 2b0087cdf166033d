/** A connection as an option: checked for what connecting needs, here and in the parts that have one of their own. */
import type { ConnectionSpec, OptionReader } from '@canopy/core';

/** Reads a field that holds a ConnectionSpec; undefined when absent or faulty. */
export function readConnection(read: OptionReader, field: string): ConnectionSpec | undefined {
  const given = read.any<unknown>(field);
  if (given === undefined) return undefined;
  const fine = namesServers(given);
  read.check(fine, field, 'must name at least one server by its URL');
  return fine ? given : undefined;
}

/** Whether it has a list of servers with something in it. */
export function namesServers(given: unknown): given is ConnectionSpec {
  const urls = (given as { servers?: unknown } | null)?.servers;
  return Array.isArray(urls) && urls.length > 0 && urls.every((url) => typeof url === 'string' && url !== '');
}
