/**
 * How a package declares its error codes: one table per package, `errors.ts`. Each entry is a message template and
 * the operator's hint; `{name}` is filled in from the fields. The table is what docs/errors.md is checked against.
 * Retired codes are never used again.
 */
import { CanopyError, type ErrorFields } from './canopy-error.ts';

export interface ErrorSpec {
  readonly message: string;
  readonly hint?: string;
  readonly retryable?: boolean;
}

export type ErrorTable = Readonly<Record<string, ErrorSpec>>;

export interface Catalogue<T extends ErrorTable> {
  readonly table: T;
  /** Builds (does not throw) the error for `code`; fields fill the template and stay on the error. */
  create(code: keyof T & string, fields?: ErrorFields, cause?: unknown): CanopyError;
}

export function defineErrors<const T extends ErrorTable>(table: T): Catalogue<T> {
  return {
    table,
    create(code, fields = {}, cause) {
      const spec = table[code] as ErrorSpec;
      return new CanopyError(code, fill(spec.message, fields), {
        ...(spec.hint === undefined ? {} : { hint: fill(spec.hint, fields) }),
        retryable: spec.retryable ?? false,
        fields,
        ...(cause === undefined ? {} : { cause }),
      });
    },
  };
}

function fill(template: string, fields: ErrorFields): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => (name in fields ? String(fields[name]) : whole));
}
