/**
 * What the environment of this process means to the embedded server. Everything takes an `environment` parameter, so
 * that a test (or an embedding program) decides what is seen.
 */
import { inheritedEnvironment } from '@canopy/core';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process. */
export function processEnvironment(): Environment {
  return inheritedEnvironment();
}

/** What a child command gets: the given environment, a usable PATH, and messages in English. */
export function childEnvironment(environment: Environment): Record<string, string> {
  const child: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) if (value !== undefined) child[name] = value;
  child.PATH = searchPath(environment).join(':');
  child.LC_ALL = 'C';
  return child;
}

/** PATH, with the places for system programs that an ordinary user's PATH leaves out. */
export function searchPath(environment: Environment): readonly string[] {
  const given = (environment.PATH ?? '').split(':').filter((directory) => directory.startsWith('/'));
  return [...new Set([...given, '/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'])];
}
