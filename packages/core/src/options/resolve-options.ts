/**
 * The one options pipeline: what a user passes (everything optional) becomes a readonly resolved record with defaults
 * filled in and units in the names. All violations are reported at once, by field; unknown fields are violations too,
 * with the nearest known name.
 */
import type { CanopyError } from '../errors/canopy-error.ts';
import { coreErrors } from '../errors/errors.ts';
import { parseDuration } from '../values/duration.ts';
import { nearest } from './nearest.ts';

const SHOWN_MAX = 200;

export interface Violation {
  readonly field: string;
  readonly problem: string;
}

export interface FieldRule<T> {
  readonly default?: T;
  readonly required?: boolean;
}

/** Reads fields one by one and collects what is wrong with them. A faulty field yields its default (or a harmless zero). */
export interface OptionReader {
  string(
    field: string,
    rule?: FieldRule<string> & { pattern?: RegExp; patternHelp?: string; lengthMax?: number },
  ): string;
  optionalString(field: string): string | undefined;
  boolean(field: string, rule?: FieldRule<boolean>): boolean;
  /** A whole number. */
  integer(field: string, rule?: FieldRule<number> & { min?: number; max?: number }): number;
  /** A duration (`10s` or milliseconds), in milliseconds. */
  durationMs(field: string, rule?: FieldRule<number> & { minMs?: number; maxMs?: number }): number;
  oneOf<const T extends string>(field: string, values: readonly T[], rule?: FieldRule<T>): T;
  /** Takes the field as it is; for functions, objects and ports. */
  any<T>(field: string, rule?: FieldRule<T>): T;
  /** A record with fields of its own, named `field.inner` in what is reported; undefined when absent or faulty. */
  object<T>(field: string, read: (reader: OptionReader) => T): T | undefined;
  /** A list of records, named `field[0].inner`; faulty ones are left out, none when absent. */
  objects<T>(field: string, read: (reader: OptionReader) => T): T[];
  /** A rule between fields. */
  check(holds: boolean, field: string, problem: string): void;
}

/** Runs `read` over the input; throws OPTIONS_INVALID naming every violation, or returns what `read` returned. */
export function resolveOptions<T>(subject: string, input: object, read: (reader: OptionReader) => T): T {
  const violations: Violation[] = [];
  if (!isRecord(input)) throw optionsInvalid(subject, [{ field: 'options', problem: notARecord(input) }]);
  const result = readFields('', input, violations, read);
  if (violations.length > 0) throw optionsInvalid(subject, violations);
  return result;
}

/** Reads one record, whose fields are named after `prefix`; what is wrong goes to `violations`. */
function readFields<T>(
  prefix: string,
  values: Readonly<Record<string, unknown>>,
  violations: Violation[],
  read: (reader: OptionReader) => T,
): T {
  const known = new Set<string>();
  const fail = (field: string, problem: string): void => {
    violations.push({ field: prefix + field, problem });
  };
  const take = (field: string): unknown => {
    known.add(field);
    return values[field];
  };
  const absent = <V>(field: string, rule: FieldRule<V>, zero: V): V => {
    if (rule.required) fail(field, 'is required');
    return rule.default ?? zero;
  };

  const reader: OptionReader = {
    string(field, rule = {}) {
      const value = take(field);
      if (value === undefined) return absent(field, rule, '');
      if (typeof value !== 'string' || value === '') fail(field, `must be a non-empty text, got ${show(value)}`);
      else if (value.length > (rule.lengthMax ?? Number.POSITIVE_INFINITY))
        fail(field, `must be at most ${rule.lengthMax} characters long, got ${value.length}`);
      else if (rule.pattern !== undefined && !rule.pattern.test(value))
        fail(field, rule.patternHelp ?? `must match ${rule.pattern}, got ${show(value)}`);
      return String(value);
    },
    optionalString(field) {
      const value = take(field);
      if (value === undefined) return undefined;
      if (typeof value !== 'string' || value === '') fail(field, `must be a non-empty text, got ${show(value)}`);
      return String(value);
    },
    boolean(field, rule = {}) {
      const value = take(field);
      if (value === undefined) return absent(field, rule, false);
      if (typeof value !== 'boolean') fail(field, `must be true or false, got ${show(value)}`);
      return value === true;
    },
    integer(field, rule = {}) {
      const value = take(field);
      if (value === undefined) return absent(field, rule, 0);
      const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = rule;
      if (!Number.isSafeInteger(value)) fail(field, `must be a whole number, got ${show(value)}`);
      else if ((value as number) < min || (value as number) > max)
        fail(field, `must be ${range(min, max)}, got ${value}`);
      else return value as number;
      return rule.default ?? 0;
    },
    durationMs(field, rule = {}) {
      const value = take(field);
      if (value === undefined) return absent(field, rule, 0);
      const ms = parseDuration(value);
      const { minMs = 0, maxMs = Number.MAX_SAFE_INTEGER } = rule;
      if (ms === undefined) fail(field, `must be a duration such as "10s" or milliseconds, got ${show(value)}`);
      else if (ms < minMs || ms > maxMs) fail(field, `must be ${range(minMs, maxMs)} ms, got ${show(value)}`);
      else return ms;
      return rule.default ?? 0;
    },
    oneOf(field, choices, rule = {}) {
      const value = take(field);
      const first = choices[0] as (typeof choices)[number];
      if (value === undefined) return absent(field, rule, first);
      const found = choices.find((choice) => choice === value);
      if (found === undefined) fail(field, `must be one of ${choices.join(', ')}, got ${show(value)}`);
      return found ?? first;
    },
    any<V>(field: string, rule: FieldRule<V> = {}): V {
      const value = take(field);
      return value === undefined ? absent(field, rule, undefined as V) : (value as V);
    },
    object(field, readNested) {
      const value = take(field);
      if (value === undefined) return undefined;
      if (isRecord(value)) return readFields(`${prefix}${field}.`, value, violations, readNested);
      fail(field, notARecord(value));
      return undefined;
    },
    objects(field, readNested) {
      const value = take(field);
      if (value === undefined) return [];
      if (!Array.isArray(value)) {
        fail(field, `must be a list, got ${show(value)}`);
        return [];
      }
      return value.flatMap((item: unknown, i) => {
        if (isRecord(item)) return [readFields(`${prefix}${field}[${i}].`, item, violations, readNested)];
        fail(`${field}[${i}]`, notARecord(item));
        return [];
      });
    },
    check(holds, field, problem) {
      if (!holds) fail(field, problem);
    },
  };

  const result = read(reader);
  for (const field of Object.keys(values)) {
    if (known.has(field)) continue;
    const guess = nearest(field, [...known]);
    fail(field, `is not an option${guess === undefined ? '' : `; did you mean "${guess}"?`}`);
  }
  return result;
}

/** The error that lists every violation; for callers with rules of their own (the config file). */
export function optionsInvalid(subject: string, violations: readonly Violation[]): CanopyError {
  const summary = violations.map((violation) => `${violation.field} ${violation.problem}`).join('; ');
  return coreErrors.create('OPTIONS_INVALID', { subject, summary, violations });
}

/** Long values are cut: the message is for people and for logs. */
function show(value: unknown): string {
  const text = typeof value === 'function' ? 'a function' : jsonOf(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notARecord(value: unknown): string {
  return `must be an object, got ${show(value)}`;
}

function range(min: number, max: number): string {
  if (max >= Number.MAX_SAFE_INTEGER) return `at least ${min}`;
  if (min <= Number.MIN_SAFE_INTEGER) return `at most ${max}`;
  return `between ${min} and ${max}`;
}
