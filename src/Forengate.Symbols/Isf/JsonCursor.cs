using System.Text.Json;

namespace Forengate.Symbols;

/// <summary>Reads JSON from a stream token by token, with a buffer of its own: no document is built, however long it is.</summary>
internal ref struct JsonCursor
{
    private const int FirstBuffer = 1 << 16;

    private readonly Stream _stream;
    private readonly SymbolLimits _limits;
    private byte[] _buffer = new byte[FirstBuffer];
    private int _length;
    private long _total;
    private bool _isLast;
    private Utf8JsonReader _reader;

    public JsonCursor(Stream stream, SymbolLimits limits)
    {
        (_stream, _limits) = (stream, limits);
        _reader = new Utf8JsonReader(ReadOnlySpan<byte>.Empty, isFinalBlock: false, default);
    }

    public readonly JsonTokenType Token => _reader.TokenType;

    /// <summary>Goes to the next token.</summary>
    /// <exception cref="JsonException">This is no JSON, or ends too early.</exception>
    /// <exception cref="SymbolFormatException">It is longer than is believed.</exception>
    public void Next()
    {
        while (!_reader.Read())
        {
            if (_isLast)
                throw new JsonException("the text ends too early");
            Refill();
        }
    }

    /// <summary>Goes into an object or to its next member; false at its end. The cursor then stands on the member's name.</summary>
    public bool NextMember()
    {
        Next();
        if (Token == JsonTokenType.StartObject)
            Next();
        return Token switch
        {
            JsonTokenType.PropertyName => true,
            JsonTokenType.EndObject => false,
            _ => throw new JsonException($"an object was expected, not {Token}"),
        };
    }

    public readonly bool Is(ReadOnlySpan<byte> text) => _reader.ValueTextEquals(text);

    public readonly string Text() => _reader.GetString() ?? throw new JsonException("a text was expected, not null");

    /// <summary>The text of the value that follows.</summary>
    public string NextText()
    {
        Next();
        return Token == JsonTokenType.String ? Text() : throw new JsonException($"a text was expected, not {Token}");
    }

    /// <summary>The number that follows. Unsigned 64-bit ones wrap around; fractions are cut off.</summary>
    public long NextNumber()
    {
        Next();
        if (Token != JsonTokenType.Number)
            throw new JsonException($"a number was expected, not {Token}");
        return _reader.TryGetInt64(out var number) ? number
            : _reader.TryGetUInt64(out var unsigned) ? (long)unsigned
            : _reader.TryGetDouble(out var fraction) && Math.Abs(fraction) < long.MaxValue ? (long)fraction
            : throw new JsonException("a number is out of range");
    }

    /// <summary>Passes over the value that follows, whatever it is.</summary>
    public void SkipNext()
    {
        Next();
        var depth = _reader.CurrentDepth;
        if (Token is JsonTokenType.StartObject or JsonTokenType.StartArray)
        {
            do
                Next();
            while (_reader.CurrentDepth > depth);
        }
    }

    private void Refill()
    {
        var used = (int)_reader.BytesConsumed;
        _buffer.AsSpan(used, _length - used).CopyTo(_buffer);
        _length -= used;
        if (_length == _buffer.Length)
        {
            if (_length >= _limits.MaxJsonToken)
                throw new SymbolFormatException($"one text of it is longer than {_limits.MaxJsonToken} bytes");
            Array.Resize(ref _buffer, _length * 2);
        }
        var read = _stream.Read(_buffer, _length, _buffer.Length - _length);
        _isLast = read == 0;
        _length += read;
        if ((_total += read) > _limits.MaxJsonLength)
            throw new SymbolFormatException($"it is longer than {_limits.MaxJsonLength >> 20} MiB");
        _reader = new Utf8JsonReader(_buffer.AsSpan(0, _length), _isLast, _reader.CurrentState);
    }
}
