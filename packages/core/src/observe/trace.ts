/** The tracing port. A span wraps one operation; the adapter decides where it goes. */
export interface Span {
  set(attributes: Readonly<Record<string, string | number | boolean>>): void;
}

export interface Tracer {
  /** Runs `work` inside a span; a rejection marks the span as failed and passes through. */
  span<T>(
    name: string,
    attributes: Readonly<Record<string, string | number | boolean>>,
    work: (span: Span) => Promise<T>,
  ): Promise<T>;
}

export const noTracer: Tracer = {
  span: (_name, _attributes, work) => work({ set() {} }),
};
