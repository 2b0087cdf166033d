/** How many consumers a stream has, asked over a connection of its own. */
import { connect } from '@nats-io/transport-node';

export async function consumerNames(url: string, stream: string): Promise<string[]> {
  const nc = await connect({ servers: url });
  try {
    const answer = await nc.request(`$JS.API.CONSUMER.NAMES.${stream}`, '', { timeout: 5000 });
    return answer.json<{ consumers: string[] | null }>().consumers ?? [];
  } finally {
    await nc.close();
  }
}

/** Every subject in a stream. */
export async function subjectsOf(url: string, stream: string): Promise<string[]> {
  const nc = await connect({ servers: url });
  try {
    const query = JSON.stringify({ subjects_filter: '>' });
    const answer = await nc.request(`$JS.API.STREAM.INFO.${stream}`, query, { timeout: 5000 });
    return Object.keys(answer.json<{ state: { subjects?: Record<string, number> } }>().state.subjects ?? {});
  } finally {
    await nc.close();
  }
}
