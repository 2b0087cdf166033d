import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';

describe('readConfig', () => {
  it('takes flags over variables over defaults', () => {
    expect(readConfig(['--db', 'a.db', '--port=0'], { PORT: '9', LEDGER_JOURNAL: 'j', LEDGER_ACCOUNTS: '' })).toEqual({
      db: 'a.db',
      host: '127.0.0.1',
      port: 0,
      journal: 'j',
      accounts: 0,
      balance: 1000,
    });
  });

  it('names every fault at once', () => {
    expect(() => readConfig(['--port', '70000', '--what', '--balance'], {})).toThrow(
      /--what[\s\S]*--balance needs a value[\s\S]*--port must be[\s\S]*--db is required/,
    );
  });
});
