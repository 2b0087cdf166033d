import { describe, expect, it } from 'vitest';
import { readCrashOptions, repeatCommand } from '../../src/crash/options.ts';
import { UsageError } from '../../src/demo/options.ts';

const fresh = () => 'fresh';

describe('the arguments of a campaign', () => {
  it('without any it is short, with a seed of its own', () => {
    expect(readCrashOptions([], fresh)).toEqual({ rounds: 12, seed: 'fresh', keep: false, suite: 'all', servers: 1 });
  });
  it('the command that it prints gives the same run', () => {
    const options = readCrashOptions(
      ['--rounds', '3', '--seed', 'x-1', '--suite', 'database', '--only', 'natsKill'],
      fresh,
    );
    if (options === undefined) throw new Error('not read');
    const [, args = ''] = repeatCommand(options).split(' -- ');
    expect(readCrashOptions(args.split(' '), fresh)).toEqual(options);
  });
  it('refuses what it does not know', () => {
    for (const args of [
      ['--rounds', '0'],
      ['--rounds', 'x'],
      ['--seed', 'a b'],
      ['--sede', 'a'],
      ['--suite', 'x'],
      ['--only', 'x'],
      ['--within', 'x'],
      ['--servers', '2'],
      ['extra'],
    ])
      expect(() => readCrashOptions(args, fresh), args.join(' ')).toThrow(UsageError);
  });
  it('gives nothing when help is asked for', () => {
    expect(readCrashOptions(['-h'], fresh)).toBeUndefined();
  });
});
