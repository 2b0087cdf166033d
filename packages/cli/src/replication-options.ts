/**
 * The options of `db replicate` and `db follow` that are the library's: the same names, defaults and validation. This table
 * has the words; what is right and wrong the library says, when the database is made from what was read here.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';

export interface LibraryOption {
  /** As in SqliteOptions; the flag is its kebab-case. */
  readonly name: string;
  /** What the flag takes; absent: nothing, it is a switch. */
  readonly takes?: string;
  readonly summary: string;
  /** In the words of the command line; undefined where it depends. */
  readonly default?: string;
  readonly choices?: readonly string[];
  /** Throws InvalidArgumentError. Default: the text as it is. */
  readonly read?: (text: string) => unknown;
}

const SIZES: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

export const BOTH: readonly LibraryOption[] = [
  {
    name: 'verifyInterval',
    takes: 'duration',
    summary: 'how often a restore is proven, beside the database; 0 is never',
    default: '24h',
    read: (text) => (text === '0' ? 0 : text),
  },
  {
    name: 'lockTimeout',
    takes: 'duration',
    summary: 'all attempts to lock the database together: then another program keeps it too long',
    default: '30s',
  },
  {
    name: 'busyTimeout',
    takes: 'duration',
    summary: 'how long one attempt to lock waits for other programs',
    default: '200ms',
  },
  {
    name: 'pageEncoding',
    takes: 'encoding',
    summary: 'of pages in the log; frame is also read by Litestream before 0.5.16',
    default: 'block',
    choices: ['block', 'frame'],
  },
];

export const REPLICATE: readonly LibraryOption[] = [
  {
    name: 'snapshotInterval',
    takes: 'duration',
    summary: 'how often a full snapshot is stored while the database changes',
    default: '1h',
  },
  {
    name: 'retention',
    takes: 'duration',
    summary: 'how long snapshots, and the log between them, are kept',
    default: '24h',
  },
  {
    name: 'keepSnapshots',
    takes: 'count',
    summary: 'so many of the newest snapshots stay, however old they are',
    default: '2',
    read: number,
  },
  {
    name: 'compactionLevels',
    takes: 'durations',
    summary: 'how often the log is merged, level by level: the points to go back to later; none is never',
    default: '30s,5m,1h',
    read: (text) => (text === 'none' ? [] : text.split(',').map((one) => one.trim())),
  },
  {
    name: 'keepSegments',
    takes: 'duration',
    summary: 'single transactions stay this long after they were merged',
    default: '5m',
  },
  {
    name: 'maxWal',
    takes: 'size',
    summary: 'from this much WAL on writers are slowed down, at four times of it kept out; B, KiB, MiB or GiB',
    default: '256MiB',
    read: bytes,
  },
  {
    name: 'checkpointPages',
    takes: 'pages',
    summary: 'the WAL is copied back into the file when it has grown by so many',
    default: '1000',
    read: number,
  },
  {
    name: 'pollInterval',
    takes: 'duration',
    summary: 'the longest pause between looks at an idle database',
    default: '250ms',
  },
  {
    name: 'verify',
    takes: 'method',
    summary: 'what is checked before the first commit is shipped',
    default: 'quick',
    choices: ['none', 'quick', 'full'],
  },
  {
    name: 'replicas',
    takes: 'count',
    summary: "copies of the log's bucket, when it is made (default: 3 where NATS is a cluster of so many, else 1)",
    read: number,
  },
  ...BOTH,
];

export const FOLLOW: readonly LibraryOption[] = [
  {
    name: 'stallAfter',
    takes: 'duration',
    summary: 'the log has moved on and nothing was applied for this long: it is told',
    default: '10s',
  },
  {
    name: 'flushStandby',
    summary: 'flush the copy at every apply: one whose machine went down need not be made anew (default: it is)',
  },
  ...BOTH.filter(({ name }) => name !== 'pageEncoding'),
];

export function addLibraryOptions(command: Command, options: readonly LibraryOption[]): Command {
  for (const { name, takes, summary, default: standard, choices, read = String } of options) {
    const flag = takes === undefined ? flagOf(name) : `${flagOf(name)} <${takes}>`;
    const option = new Option(flag, standard === undefined ? summary : `${summary} (default ${standard})`);
    if (choices !== undefined) option.choices(choices);
    else if (takes !== undefined) option.argParser(read);
    command.addOption(option);
  }
  return command;
}

/** What was given of these, by the library's names. */
export function givenOf(options: readonly LibraryOption[], given: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(
    options.filter(({ name }) => given[name] !== undefined).map(({ name }) => [name, given[name]]),
  );
}

/** `--compaction-levels` of `compactionLevels`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** What is no number stays a text, for the library to refuse. */
function number(text: string): unknown {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function bytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([KMG]iB|B|)$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError('write bytes, or a size such as 64MiB or 1GiB');
  return Math.round(Number(match[1]) * (SIZES[match[2] as string] as number));
}
