/** The logging port: four levels, one event name in snake_case, facts as fields. A vendor sits behind it, never in a library. */
export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

/** Builds a logger on one sink. */
export function createLogger(
  sink: (level: LogLevel, event: string, fields: LogFields) => void,
  base: LogFields = {},
): Logger {
  const at =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}): void =>
      sink(level, event, { ...base, ...fields });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => createLogger(sink, { ...base, ...fields }),
  };
}

export const silentLogger: Logger = createLogger(() => {});
