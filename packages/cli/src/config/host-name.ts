/** What this machine is called where nobody said otherwise. */
import { hostname } from 'node:os';

/** The host's name as a node id: what a node id may not contain becomes "-". */
export function nodeNameOfHost(): string {
  const name = hostname()
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63);
  return name === '' ? 'node' : name;
}
