/** What every Bus must do, whatever is behind it. */
import { describe, expect, test } from 'vitest';
import type { BusMessage } from '../bus/port.ts';
import { bytes, type ContractSystem, codeOf, Recorder, text, useSystem } from './system.ts';

export function describeBusContract(name: string, makeSystem: () => Promise<ContractSystem>): void {
  describe(`Bus contract: ${name}`, () => {
    const sessions = useSystem(makeSystem);
    let subjects = 0;
    const subject = (): string => `contract.${++subjects}`;
    const listen = async (pattern: string, queue?: string): Promise<Recorder<BusMessage>> => {
      const { bus } = sessions().b;
      const recorder = new Recorder<BusMessage>((signal) =>
        bus.subscribe(pattern, { signal, ...(queue === undefined ? {} : { queue }) }),
      );
      await bus.flush();
      return recorder;
    };

    test('a message reaches every subscriber, with its headers', async () => {
      const to = subject();
      const one = await listen(to);
      const two = await listen(`${to.split('.')[0]}.*`);
      sessions().a.bus.publish(to, bytes('hi'), { 'X-Kind': 'greeting' });
      for (const seen of [one, two]) {
        const message = await seen.until((candidate) => candidate.subject === to);
        expect(text(message.data)).toBe('hi');
        expect(message.headers['X-Kind']).toBe('greeting');
        await seen.stop();
      }
    });

    test('a request gets the answer', async () => {
      const to = subject();
      const { bus } = sessions().b;
      const controller = new AbortController();
      const requests = bus.subscribe(to, { signal: controller.signal });
      const serving = (async () => {
        for await (const message of requests) message.respond(bytes(`echo ${text(message.data)}`), { Served: 'yes' });
      })();
      await bus.flush();
      const answer = await sessions().a.bus.request(to, bytes('x'));
      expect(text(answer.data)).toBe('echo x');
      expect(answer.headers.Served).toBe('yes');
      controller.abort();
      await serving;
    });

    test('a request that nobody listens to fails at once', async () => {
      expect(await codeOf(sessions().a.bus.request(subject(), bytes('x'), { timeoutMs: 60_000 }))).toBe(
        'BUS_NO_RESPONDERS',
      );
    });

    test('a request that is not answered ends at its deadline', async () => {
      const to = subject();
      const silent = await listen(to);
      expect(await codeOf(sessions().a.bus.request(to, bytes('x'), { timeoutMs: 100 }))).toBe('DEADLINE_EXCEEDED');
      await silent.stop();
    });

    test('a request ends with its signal', async () => {
      const to = subject();
      const silent = await listen(to);
      const controller = new AbortController();
      const request = sessions().a.bus.request(to, bytes('x'), { timeoutMs: 60_000, signal: controller.signal });
      controller.abort(new Error('changed my mind'));
      await expect(request).rejects.toThrow('changed my mind');
      await silent.stop();
    });

    test('each message goes to one member of a queue group', async () => {
      const to = subject();
      const members = [await listen(to, 'workers'), await listen(to, 'workers'), await listen(to, 'workers')];
      for (let i = 0; i < 60; i++) sessions().a.bus.publish(to, bytes(`${i}`));
      const got = (): string[] => members.flatMap((member) => member.events.map((message) => text(message.data) ?? ''));
      await expect.poll(() => got().length, { timeout: 5000 }).toBeGreaterThanOrEqual(60);
      expect(got().sort()).toEqual(Array.from({ length: 60 }, (_, i) => `${i}`).sort());
      for (const member of members) await member.stop();
    });

    test('what is too large is refused before it is sent', async () => {
      const large = new Uint8Array(1024 * 1024 + 1);
      expect(await codeOf(sessions().a.bus.request(subject(), large))).toBe('BUS_PAYLOAD_TOO_LARGE');
      expect(() => sessions().a.bus.publish(subject(), large)).toThrow(/server takes/);
    });

    test('nothing arrives after the subscription ended', async () => {
      const to = subject();
      const seen = await listen(to);
      await seen.stop();
      await sessions().b.bus.flush();
      expect(await codeOf(sessions().a.bus.request(to, bytes('x')))).toBe('BUS_NO_RESPONDERS');
    });
  });
}
