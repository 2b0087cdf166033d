/** Finds the program of a command before anything is spawned, so that a wrong name is a clear error and not exit code 127. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { backendErrors } from '../errors.ts';

export interface CommandPlace {
  readonly app: string;
  readonly cwd: string;
  /** The PATH that the backend will have. */
  readonly path: string | undefined;
}

/** The program's full path. Throws BACKEND_CWD_MISSING or BACKEND_COMMAND_MISSING. */
export function findProgram(name: string, place: CommandPlace): string {
  const { app, cwd } = place;
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory())
    throw backendErrors.create('BACKEND_CWD_MISSING', { app, cwd });
  const fail = (problem: string): Error =>
    backendErrors.create('BACKEND_COMMAND_MISSING', { app, command: name, problem, cwd });
  if (name.includes('/')) {
    const file = resolve(cwd, name);
    const problem = problemOf(file);
    if (problem !== undefined) throw fail(problem);
    return file;
  }
  let found: string | undefined;
  for (const directory of (place.path ?? '/usr/local/bin:/usr/bin:/bin').split(delimiter)) {
    const file = join(isAbsolute(directory) ? directory : resolve(cwd, directory), name);
    const problem = problemOf(file);
    if (problem === undefined) return file;
    if (!problem.endsWith('does not exist')) found ??= problem;
  }
  throw fail(found ?? 'it is not on PATH');
}

function problemOf(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return `${file} does not exist`;
  if (stat.isDirectory()) return `${file} is a directory`;
  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch {
    return `${file} is not executable`;
  }
}
