/** The daemon's log: pino behind core's port, JSON lines with `event` as the message. */
import { createLogger, type Logger, type LogLevel, messageOf } from '@canopy/core';
import { pino } from 'pino';
import { LogDestination } from './log-destination.ts';

/** Names of fields whose values never reach the log. */
const SECRET_FIELDS = ['password', 'token', 'credentials', 'user', '*.password', '*.token', '*.credentials'];

/**
 * Writes to `file`, or to stderr without one. No call of it ever throws: what can't be written is dropped, counted and told
 * about later (see LogDestination). Throws DIRECTORY_UNWRITABLE when the file can't be opened.
 */
export function pinoLogger(options: {
  level: LogLevel;
  file?: string | undefined;
  base: Readonly<Record<string, unknown>>;
  /** Called for each line that was lost. */
  onLost?: (() => void) | undefined;
}): Logger {
  const stream = new LogDestination({
    to: options.file ?? 2,
    renderLoss: (lost, reason) => lossLine(options.base, lost, reason),
    onLost: options.onLost,
  });
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
  return createLogger((level, event, fields) => {
    try {
      log[level](fields, event);
    } catch (error) {
      // A field that can't be rendered (a getter that throws) must not be worse than no field.
      log[level]({ unprintable: messageOf(error) }, event);
    }
  });
}

function lossLine(base: Readonly<Record<string, unknown>>, lost: number, reason: string): string {
  const problem = `${lost} log line${lost === 1 ? ' was' : 's were'} lost: ${reason}`;
  const time = new Date().toISOString();
  return JSON.stringify({ level: 'warn', time, ...base, lost, problem, event: 'log_lines_lost' });
}

function fieldsOf(error: Error): object {
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  return { ...(code === undefined ? {} : { code }), ...(hint === undefined ? {} : { hint }) };
}
