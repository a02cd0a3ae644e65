using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Symbols;

namespace Forengate.Cli.Commands;

/// <summary>Arguments and options that several commands take, spelled once.</summary>
/// <param name="formatOption">What the option for the target's format is called: <c>--format</c>, but where a command's own output has one.</param>
internal sealed class Shared(string formatOption = "--format")
{
    public Argument<string> Target { get; } = new("TARGET")
    {
        Description = "An image file, libvirt:NAME, qmp:SOCKET, or pid:N for a QEMU that answers no more",
    };

    public Option<string?> Connect { get; } = new("--connect", "-c")
    {
        Description = "libvirt connection URI (default: $LIBVIRT_DEFAULT_URI, else qemu:///system)",
        HelpName = "URI",
    };

    public Option<string?> Format { get; } = new(formatOption)
    {
        Description = $"Read the file as this format instead of telling it by its content: {string.Join(", ", Memory.ImageReader.Default.Formats)}",
        HelpName = "FORMAT",
    };

    public Option<string?> Ranges { get; } = new("--ranges")
    {
        Description = "For raw images: where its bytes lie in guest-physical memory, as START-END[=FILEOFFSET],… (hexadecimal with 0x)",
        HelpName = "LIST",
    };

    public Option<string?> LowMemory { get; } = new("--low-memory")
    {
        Description = "For raw images without the hole below 4 GiB: how much RAM lies below it (3G, 0xc0000000); the rest follows from 4 GiB on",
        HelpName = "SIZE",
    };

    public Option<string?> Cache { get; } = new("--cache")
    {
        Description = "Folder to keep indexes of packed images in, and to unpack in what can't be read at random (default: keep nothing)",
        HelpName = "FOLDER",
    };

    public Option<string[]> Symbols { get; } = new("--symbols")
    {
        Description = "A symbol file of the guest's kernel, or a folder of them, asked before the carried profiles: PDB, ISF (.json, .xz, .zst), profile pack",
        HelpName = "PATH",
    };

    public Option<string?> Store { get; } = new("--store")
    {
        Description = "Folder of the local store of kernel profiles (default: $FORENGATE_STORE, else forengate/symbols in $XDG_DATA_HOME or ~/.local/share)",
        HelpName = "FOLDER",
    };

    public Option<string[]> Trust { get; } = new("--trust")
    {
        Description = "A public key (PEM): profile packs count only when signed by it or another key named so, or by one in the store's folder 'trusted'",
        HelpName = "KEY.pem",
    };

    public Option<string[]> SymbolServer { get; } = new("--symbol-server")
    {
        Description = "May be asked for symbols that are not at hand: srv*FOLDER*https://SERVER/PATH, an address, or a folder (default: no network is used)",
        HelpName = "SPEC",
    };

    public Option<string?> Proxy { get; } = new("--proxy")
    {
        Description = "Proxy for symbol servers: http://HOST:PORT, or none (default: what http_proxy, https_proxy and no_proxy say)",
        HelpName = "URL",
    };

    public Option<OutputFormat> Output { get; } = Choice<OutputFormat>("--output", "table, json, jsonl or csv", "-o");

    public Option<CaptureChoice> Consistency { get; } = Choice<CaptureChoice>(
        "--consistency", "Live guests: snapshot stops the guest for milliseconds, stop while it is read or copied, live not at all (torn reads possible); auto: the best there is");

    public Option<Guests.CaptureMeans> Means { get; } = Choice<Guests.CaptureMeans>(
        "--means", "Guests of libvirt's: qemu reads QEMU's process, libvirt uses libvirt's own calls only (works remotely, marks nothing), peek of them memory peeks only, "
        + "monitor peeks and asks QEMU for registers; auto: the best there is");

    /// <summary>Only commands that copy a guest take it.</summary>
    public Option<int?> MaxPause { get; } = new("--max-pause")
    {
        Description = "Live guests: refuse where the guest is expected to stand still longer than this many milliseconds",
        HelpName = "MS",
        CustomParser = result =>
        {
            var word = result.Tokens[0].Value;
            if (int.TryParse(word, System.Globalization.NumberStyles.None, null, out var milliseconds) && milliseconds > 0)
                return milliseconds;
            result.AddError($"--max-pause does not take '{word}': say a number of milliseconds");
            return null;
        },
    };

    /// <summary>Only commands that copy a guest take it.</summary>
    public Option<string?> Spill { get; } = new("--spill")
    {
        Description = "Live guests: folder on a disk for what the host has no memory for (default: the output's folder, or /var/tmp)",
        HelpName = "FOLDER",
    };

    public void AddTargetTo(Command command)
    {
        command.Arguments.Add(Target);
        AddTargetOptionsTo(command);
    }

    /// <summary>What may be said of a target beside its name.</summary>
    public void AddTargetOptionsTo(Command command)
    {
        command.Options.Add(Connect);
        command.Options.Add(Format);
        command.Options.Add(Ranges);
        command.Options.Add(LowMemory);
        command.Options.Add(Cache);
        AddSymbolsTo(command);
        command.Options.Add(Consistency);
        command.Options.Add(Means);
    }

    /// <summary>Where profiles come from.</summary>
    public void AddSymbolsTo(Command command)
    {
        command.Options.Add(Symbols);
        command.Options.Add(Store);
        command.Options.Add(Trust);
        command.Options.Add(SymbolServer);
        command.Options.Add(Proxy);
    }

    public TargetOptions TargetOptions(ParseResult result) => new()
    {
        ConnectUri = result.GetValue(Connect),
        Format = result.GetValue(Format),
        Ranges = result.GetValue(Ranges),
        LowMemory = result.GetValue(LowMemory),
        CacheFolder = result.GetValue(Cache),
        Symbols = result.GetValue(Symbols) ?? [],
        TrustedKeys = result.GetValue(Trust) ?? [],
        SymbolServers = result.GetValue(SymbolServer) ?? [],
        Proxy = result.GetValue(Proxy),
        StoreFolder = result.GetValue(Store) ?? LocalStore.DefaultFolder,
        Consistency = result.GetValue(Consistency),
        Means = result.GetValue(Means),
        SpillFolder = result.GetValue(Spill),
        MaxPause = result.GetValue(MaxPause) is { } milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null,
    };

    /// <summary>An option that takes one of an enumeration's names, in any case; the first of them when it is not given.</summary>
    internal static Option<T> Choice<T>(string name, string description, params string[] aliases)
        where T : struct, Enum
    {
        var words = Enum.GetNames<T>();
        return new Option<T>(name, aliases)
        {
            Description = description,
            HelpName = string.Join('|', words).ToLowerInvariant(),
            DefaultValueFactory = _ => default,
            CustomParser = result =>
            {
                var word = result.Tokens[0].Value;
                if (words.Contains(word, StringComparer.OrdinalIgnoreCase))
                    return Enum.Parse<T>(word, ignoreCase: true);
                result.AddError($"{name} does not take '{word}': say {string.Join(", ", words[..^1]).ToLowerInvariant()} or {words[^1].ToLowerInvariant()}");
                return default;
            },
        };
    }
}
