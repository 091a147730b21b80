-- What the server's first superuser made in `public` becomes the role ballast's, which is no superuser. Its rights go along,
-- also those it had given up. Needed once, for a database of a release in which ballast was that superuser.
DO $$
DECLARE
    v_made record;
BEGIN
    FOR v_made IN
        SELECT format('ALTER %s %s OWNER TO ballast',
                      CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass) AS command
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relowner = 10 AND c.relkind IN ('r', 'S')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i'))
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO ballast', p.oid::regprocedure)
          FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = 10
    LOOP
        EXECUTE v_made.command;
    END LOOP;
END $$;
