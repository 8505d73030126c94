#!/bin/sh
# Stands in for the node helper where a test needs a child process that it can
# see: same words, same lines. $2 is the directory given as --sys-root.
[ "$1" = --sys-root ] || exit 64
echo $$ > "$2/pid"
case $SSH_ORIGINAL_COMMAND in
*serve)
    echo '{"pulse_sensor_node":{"protocol":1,"version":"0.2.0"}}'
    while read -r request; do
        case $request in
        read) read -r document < "$2/document" && echo "$document" ;;
        die) kill -9 $$ ;;
        *) echo '{"error":"unknown request"}' ;;
        esac
    done
    ;;
'') env ;;
*) echo "refused: $SSH_ORIGINAL_COMMAND" >&2; exit 3 ;;
esac
