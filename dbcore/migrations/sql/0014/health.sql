-- As in 0001, and it looks for tables where Ballast's are, whatever the search_path.
CREATE OR REPLACE FUNCTION ballast.health_probe(
    p_trigger text, p_tables text[],
    OUT r_server_ms double precision, OUT r_server_version text, OUT r_missing text[],
    OUT r_connections integer, OUT r_max_connections integer, OUT r_database_bytes bigint
) LANGUAGE plpgsql AS $$
BEGIN
    r_server_version := current_setting('server_version');
    r_max_connections := current_setting('max_connections')::integer;
    SELECT coalesce(array_agg(name ORDER BY name), '{}') INTO r_missing
      FROM unnest(p_tables) AS name WHERE to_regclass('ballast.' || quote_ident(name)) IS NULL;
    SELECT count(*) INTO r_connections FROM pg_stat_activity WHERE backend_type = 'client backend';
    r_database_bytes := pg_database_size(current_database());
    DELETE FROM ballast.health_probes WHERE id IN (
        SELECT id FROM ballast.health_probes WHERE created_at < now() - interval '30 days' ORDER BY created_at LIMIT 50
        FOR UPDATE SKIP LOCKED);
    r_server_ms := 1000 * extract(epoch FROM clock_timestamp() - statement_timestamp());
    INSERT INTO ballast.health_probes (trigger, ok, server_ms, server_version, missing_tables, connections, max_connections,
                                       database_bytes)
    VALUES (p_trigger, cardinality(r_missing) = 0, r_server_ms, r_server_version, r_missing, r_connections,
            r_max_connections, r_database_bytes);
END
$$;
