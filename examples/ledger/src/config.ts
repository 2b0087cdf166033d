/**
 * Where the program finds its settings: a flag, else an environment variable, else a default. Everything wrong is told
 * at once, before anything is opened.
 */
export interface Config {
  /** The database file; made when missing. */
  readonly db: string;
  readonly host: string;
  /** 0 picks a free port; the line `listening` on standard output tells which. */
  readonly port: number;
  /** Where a line per committed transfer goes, or undefined for none. */
  readonly journal: string | undefined;
  /** How many accounts (`acct-0`, `acct-1`, …) an empty database is filled with. */
  readonly accounts: number;
  /** What each of them begins with. */
  readonly balance: number;
}

/** Thrown with every fault found, one a line. */
export class UsageError extends Error {}

export const USAGE = `usage: ledger --db FILE [--port N] [--host ADDRESS] [--journal FILE] [--accounts N] [--balance N]
  --db FILE        LEDGER_DB        database file, made when missing
  --port N         PORT             default 8080; 0 picks a free one
  --host ADDRESS   LEDGER_HOST      default 127.0.0.1
  --journal FILE   LEDGER_JOURNAL   append one line per committed transfer
  --accounts N     LEDGER_ACCOUNTS  fill an empty database with N accounts (default 0)
  --balance N      LEDGER_BALANCE   what each of them begins with (default 1000)`;

const VARIABLES: Readonly<Record<string, string>> = {
  db: 'LEDGER_DB',
  port: 'PORT',
  host: 'LEDGER_HOST',
  journal: 'LEDGER_JOURNAL',
  accounts: 'LEDGER_ACCOUNTS',
  balance: 'LEDGER_BALANCE',
};

/** The settings, or UsageError. */
export function readConfig(args: readonly string[], variables: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const given = new Map<string, string>();
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = variables[variable];
    if (value !== undefined && value !== '') given.set(name, value);
  }
  for (let i = 0; i < args.length; i++) {
    const [, name, inline] = /^--([a-z]+)(?:=(.*))?$/.exec(args[i] as string) ?? [];
    if (name === undefined || !(name in VARIABLES)) {
      faults.push(`unknown argument ${args[i]}`);
      continue;
    }
    const value = inline ?? args[++i];
    if (value === undefined || value === '') faults.push(`--${name} needs a value`);
    else given.set(name, value);
  }

  const whole = (name: string, fallback: number, max: number): number => {
    const text = given.get(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^\d+$/.test(text) && value <= max) return value;
    faults.push(`--${name} must be a whole number from 0 to ${max}, got "${text}"`);
    return fallback;
  };
  const config = {
    db: given.get('db') ?? '',
    host: given.get('host') ?? '127.0.0.1',
    port: whole('port', 8080, 65_535),
    journal: given.get('journal'),
    accounts: whole('accounts', 0, 1_000_000),
    balance: whole('balance', 1000, 1_000_000_000),
  };
  if (config.db === '') faults.push('--db is required');
  if (faults.length > 0) throw new UsageError(faults.join('\n'));
  return config;
}
