/**
 * The one error shape of the project. A failure that a caller can meet has a literal `code` from a package's
 * catalogue, says whether trying again may help, carries the facts as fields, and tells the operator what to do.
 * The marker symbol lets two copies of this package recognise each other's errors.
 */
const MARKER = Symbol.for('canopy.error');

export type ErrorFields = Readonly<Record<string, unknown>>;

export interface CanopyErrorInit {
  /** What the operator can do about it, one or two sentences. */
  readonly hint?: string;
  /** Trying the same call again may succeed without anybody changing anything. */
  readonly retryable?: boolean;
  /** The facts: file, field, holder, revision… Must be JSON-serialisable. */
  readonly fields?: ErrorFields;
  readonly cause?: unknown;
}

/** Any failure that Canopy reports on purpose. Test with `CanopyError.is(error)` or `hasCode(error, 'X')`. */
export class CanopyError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly fields: ErrorFields;

  constructor(code: string, message: string, init: CanopyErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = code;
    this.hint = init.hint;
    this.retryable = init.retryable ?? false;
    this.fields = init.fields ?? {};
    Object.defineProperty(this, MARKER, { value: true });
  }

  static is(error: unknown): error is CanopyError {
    return typeof error === 'object' && error !== null && MARKER in error;
  }

  /** The form that crosses processes and shows in `--output json`. Never has a stack. */
  toJSON(): { code: string; message: string; hint?: string; retryable: boolean; fields: ErrorFields } {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      retryable: this.retryable,
      fields: this.fields,
    };
  }

  static fromJSON(data: {
    code: string;
    message: string;
    hint?: string;
    retryable?: boolean;
    fields?: ErrorFields;
  }): CanopyError {
    return new CanopyError(data.code, data.message, {
      ...(data.hint === undefined ? {} : { hint: data.hint }),
      retryable: data.retryable ?? false,
      fields: data.fields ?? {},
    });
  }
}
Object.defineProperty(CanopyError.prototype, 'name', { value: 'CanopyError' });

/** True when `error` is a CanopyError with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): error is CanopyError {
  return CanopyError.is(error) && codes.includes(error.code);
}

/** The message of anything that was thrown, for log lines. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
