/**
 * From a file and the environment to a checked configuration. Every fault is reported at once with its path in the file and,
 * for an unknown key, the nearest known one. Strength, weak to strong: file, environment, flags.
 */
import { readFileSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { nearest } from '@canopy/core';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { cliErrors } from '../errors.ts';
import { type Config, configSchema, nameFault } from './schema.ts';

export interface LoadedConfig {
  readonly config: Config;
  readonly file: string;
  /** The file's directory: relative paths in it begin here. */
  readonly directory: string;
}

/** What flags and the environment say; undefined = nothing. */
export interface Overrides {
  readonly node?: string | undefined;
  readonly platform?: string | undefined;
  readonly servers?: readonly string[] | undefined;
}

export function loadConfig(path: string, overrides: Overrides = {}): LoadedConfig {
  const file = resolve(path);
  const input = parseConfigText(file, readText(file));
  return { config: checkConfig(file, applyOverrides(input, overrides)), file, directory: dirname(file) };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw cliErrors.create('CONFIG_MISSING', { file }, error);
    throw cliErrors.create(
      'CONFIG_UNREADABLE',
      { file, reason: code === 'EISDIR' ? 'it is a directory' : code },
      error,
    );
  }
}

/** YAML is a superset of JSON, so one parser serves both; it also tells the line. */
function parseConfigText(file: string, text: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const fault = document.errors[0];
  if (fault !== undefined) {
    const { line, col } = lines.linePos(fault.pos[0]);
    throw cliErrors.create('CONFIG_SYNTAX', {
      file,
      format: extname(file) === '.json' ? 'JSON' : 'YAML',
      reason: `line ${line}, column ${col}: ${fault.message}`,
    });
  }
  return document.toJS();
}

function applyOverrides(input: unknown, overrides: Overrides): unknown {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return input;
  const base = input as Record<string, unknown>;
  const nats = typeof base.nats === 'object' && base.nats !== null ? base.nats : {};
  return {
    ...base,
    ...(overrides.platform === undefined ? {} : { platform: overrides.platform }),
    ...(overrides.node === undefined ? {} : { node: overrides.node }),
    ...(overrides.servers === undefined ? {} : { nats: { ...nats, servers: overrides.servers } }),
  };
}

export function checkConfig(file: string, input: unknown): Config {
  const result = configSchema.safeParse(input);
  const issues = result.success ? [] : result.error.issues;
  const faults = [...issues.flatMap((issue) => describeIssue(issue, input)), ...appNameFaults(input)];
  if (result.success && faults.length === 0) return result.data;
  throw cliErrors.create('CONFIG_INVALID', {
    file,
    count: faults.length,
    list: faults.map((fault) => `  ${fault}`).join('\n'),
    faults,
  });
}

function appNameFaults(input: unknown): string[] {
  const apps = (input as { apps?: unknown } | null)?.apps;
  if (typeof apps !== 'object' || apps === null || Array.isArray(apps)) return [];
  return Object.keys(apps).flatMap((app) => {
    const fault = nameFault('app', app);
    return fault === undefined ? [] : [`apps.${app}: ${fault}`];
  });
}

/** What zod calls a type, as the writer of a YAML file would. */
const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a section (keys and values)',
  record: 'a section (keys and values)',
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
};

function describeIssue(issue: z.core.$ZodIssue, input: unknown): string[] {
  const path = issue.path.join('.') || '(the whole file)';
  if (issue.code === 'unrecognized_keys') {
    const prefix = issue.path.length === 0 ? '' : `${issue.path.join('.')}.`;
    return issue.keys.map((key) => {
      const guess = nearest(key, knownKeys(issue.path));
      return `${prefix}${key}: unknown key${guess === undefined ? '' : `; did you mean "${guess}"?`}`;
    });
  }
  if (issue.code === 'invalid_type') {
    const found = valueAt(input, issue.path);
    const expected = TYPE_WORDS[issue.expected] ?? issue.expected;
    return [
      found === undefined
        ? `${path}: is missing (${expected})`
        : `${path}: must be ${expected}, is ${JSON.stringify(found)}`,
    ];
  }
  if (issue.code === 'invalid_value') {
    return [
      `${path}: must be one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}, is ${JSON.stringify(valueAt(input, issue.path))}`,
    ];
  }
  return [`${path}: ${issue.message}`];
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}

/** The keys that the schema knows at a path, for "did you mean". */
function knownKeys(path: readonly PropertyKey[]): string[] {
  interface Node {
    shape?: Record<string, Node>;
    unwrap?: () => Node;
    valueType?: Node;
    options?: Node[];
  }
  let node: Node | undefined = configSchema as unknown as Node;
  for (const key of path) {
    node = unwrapped(node);
    node = node?.shape?.[String(key)] ?? node?.valueType;
  }
  return Object.keys(unwrapped(node)?.shape ?? {});

  function unwrapped(given: Node | undefined): Node | undefined {
    let inner = given;
    while (inner?.unwrap !== undefined && inner.shape === undefined) inner = inner.unwrap();
    return inner;
  }
}
