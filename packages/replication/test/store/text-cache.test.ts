import { describe, expect, test } from 'vitest';
import { TextCache } from '../../src/store/text-cache.ts';

describe('texts in memory', () => {
  test('are what was asked for, and what was committed of it since', () => {
    const texts = new TextCache();
    texts.committed('s', 'a', 'never asked for');
    expect(texts.get('s', 'a')).toBeUndefined();
    texts.keep('s', 'a', '1');
    texts.keep('s', 'gone', null);
    texts.keep('other', 'a', '2');
    expect([texts.get('s', 'a'), texts.get('s', 'gone'), texts.get('other', 'a')]).toEqual(['1', null, '2']);
    texts.committed('s', 'a', null);
    texts.committed('s', 'gone', '3');
    expect([texts.get('s', 'a'), texts.get('s', 'gone'), texts.get('other', 'a')]).toEqual([null, '3', '2']);
    texts.clear();
    expect(texts.isEmpty).toBe(true);
    expect(texts.get('s', 'gone')).toBeUndefined();
  });

  test('what is asked for stays, and the rest goes before the bound', () => {
    const texts = new TextCache(20_000);
    texts.keep('s', 'hot', 'x'.repeat(100));
    let present = 0;
    for (let n = 0; n < 1000; n++) {
      texts.keep('s', `cold-${n}`, 'x'.repeat(100));
      expect(texts.get('s', 'hot')).toHaveLength(100);
    }
    for (let n = 0; n < 1000; n++) if (texts.get('s', `cold-${n}`) !== undefined) present += 1;
    expect(present).toBeGreaterThan(0);
    expect(present * 200).toBeLessThan(20_000);
  });

  test('wide text counts twice, and what grows too large is forgotten, not kept as it was', () => {
    const texts = new TextCache(4000);
    texts.keep('s', 'wide', 'ж'.repeat(1000));
    expect(texts.get('s', 'wide')).toBeUndefined();
    texts.keep('s', 'a', 'x'.repeat(1000));
    texts.committed('s', 'a', 'x'.repeat(3000));
    expect(texts.get('s', 'a')).toBeUndefined();
    texts.keep('s', 'old', '1');
    for (const key of ['b', 'c']) texts.keep('s', key, 'x'.repeat(1700));
    texts.committed('s', 'old', 'x'.repeat(3000));
    expect(texts.get('s', 'old')).toBeUndefined();
  });
});
