/** The daemon's log: pino behind core's port, JSON lines with `event` as the message. */
import { createLogger, type Logger, type LogLevel } from '@canopy/core';
import { destination, pino } from 'pino';

/** Names of fields whose values never reach the log. */
const SECRET_FIELDS = ['password', 'token', 'credentials', 'user', '*.password', '*.token', '*.credentials'];

/** Writes to `file`, or to stderr without one. Lines are written at once: the last ones matter most after a crash. */
export function pinoLogger(options: {
  level: LogLevel;
  file?: string | undefined;
  base: Readonly<Record<string, unknown>>;
}): Logger {
  const stream = destination({ dest: options.file ?? 2, sync: true, mkdir: true, append: true });
  const log = pino(
    {
      level: options.level,
      base: options.base,
      messageKey: 'event',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS, censor: '[hidden]' },
      serializers: {
        error: (error: unknown) => (error instanceof Error ? { message: error.message, ...fieldsOf(error) } : error),
      },
    },
    stream,
  );
  return createLogger((level, event, fields) => log[level](fields, event));
}

function fieldsOf(error: Error): object {
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  return { ...(code === undefined ? {} : { code }), ...(hint === undefined ? {} : { hint }) };
}
